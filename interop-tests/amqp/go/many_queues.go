package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// manyQueues: 1,000 durable queues on one channel, each with its own message.
func manyQueues(url string) {
	connection, channel := open(url)
	prefix := fresh("many")
	var confirms []*amqp.DeferredConfirmation
	name := func(number int) string { return fmt.Sprintf("%s.%d", prefix, number) }
	for number := 0; number < 1000; number++ {
		get1(channel.QueueDeclare(name(number), true, false, false, false, nil))
		confirms = append(confirms, send(channel, "", name(number), persistent([]byte(name(number)))))
	}
	for _, confirm := range confirms {
		want("confirmed", confirm.Wait(), true)
	}
	for number := 0; number < 1000; number++ {
		delivery, _, err := channel.Get(name(number), true)
		must(err)
		want("body", string(delivery.Body), name(number))
		get1(channel.QueueDelete(name(number), false, false, false))
	}
	must(connection.Close())
}
