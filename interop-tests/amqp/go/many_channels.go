package main

import (
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// manyChannels: 200 channels of one connection, each publishing to and consuming from its own queue.
func manyChannels(url string) {
	connection, _ := open(url)
	var inboxes []<-chan amqp.Delivery
	for number := 0; number < 200; number++ {
		channel := get1(connection.Channel())
		must(channel.Confirm(false))
		queue := get1(channel.QueueDeclare("", false, false, true, false, nil)).Name
		inboxes = append(inboxes, get1(channel.Consume(queue, "", true, false, false, false, nil)))
		send(channel, "", queue, amqp.Publishing{Body: []byte(strconv.Itoa(number))})
	}
	for number, inbox := range inboxes {
		want("body", string((<-inbox).Body), strconv.Itoa(number))
	}
	must(connection.Close())
}
