package main

import (
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// bind: bindings lead where they say, until they are taken away.
func bind(url string) {
	connection, channel := open(url)
	queue := get1(channel.QueueDeclare("", false, false, true, false, nil)).Name
	direct, fanout, topic := fresh("direct"), fresh("fanout"), fresh("topic")
	must(channel.ExchangeDeclare(direct, "direct", false, false, false, false, nil))
	must(channel.ExchangeDeclare(fanout, "fanout", false, false, false, false, nil))
	must(channel.ExchangeDeclare(topic, "topic", false, false, false, false, nil))
	must(channel.QueueBind(queue, "red", direct, false, nil))
	must(channel.QueueBind(queue, "", fanout, false, nil))
	must(channel.QueueBind(queue, "a.*.c", topic, false, nil))
	must(channel.QueueBind(queue, "z.#", topic, false, nil))
	for _, to := range [][2]string{
		{direct, "red"}, {direct, "blue"}, {fanout, "any"}, {topic, "a.b.c"}, {topic, "a.c"}, {topic, "z.y.x"},
	} {
		want("confirmed", send(channel, to[0], to[1], amqp.Publishing{Body: []byte(to[1])}).Wait(), true)
	}
	want("bodies", strings.Join(drain(channel, queue), " "), "red any a.b.c z.y.x")
	must(channel.QueueUnbind(queue, "red", direct, nil))
	want("confirmed", send(channel, direct, "red", amqp.Publishing{}).Wait(), true)
	want("bodies", len(drain(channel, queue)), 0)
	for _, exchange := range []string{direct, fanout, topic} {
		must(channel.ExchangeDelete(exchange, false, false))
	}
	must(connection.Close())
}
