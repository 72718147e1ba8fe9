package main

import (
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// declare: queues and exchanges are declared, found again, and refused when they differ.
func declare(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "declare", 0, nil)
	want("messages", messageCount(channel, queue), 0)
	mine := get1(channel.QueueDeclare("", false, false, true, false, nil)).Name
	want("prefix", strings.HasPrefix(mine, "amq.gen-"), true)
	exchange := fresh("declare")
	for _, kind := range []string{"direct", "fanout", "topic"} {
		must(channel.ExchangeDeclare(exchange+kind, kind, true, false, false, false, nil))
		must(channel.ExchangeDeclarePassive(exchange+kind, kind, true, false, false, false, nil))
	}
	refused(connection, 406, func(other *amqp.Channel) error {
		_, err := other.QueueDeclare(queue, false, false, false, false, nil)
		return err
	})
	refused(connection, 406, func(other *amqp.Channel) error {
		return other.ExchangeDeclare(exchange+"direct", "fanout", true, false, false, false, nil)
	})
	refused(connection, 404, func(other *amqp.Channel) error {
		_, err := other.QueueDeclarePassive(fresh("nowhere"), false, false, false, false, nil)
		return err
	})
	stranger, _ := open(url)
	refused(stranger, 405, func(other *amqp.Channel) error {
		_, err := other.QueueDeclarePassive(mine, false, false, true, false, nil)
		return err
	})
	must(stranger.Close())
	for _, kind := range []string{"direct", "fanout", "topic"} {
		must(channel.ExchangeDelete(exchange+kind, false, false))
	}
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
