package main

import (
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// reconnect: after a restart of the broker a client connects again and finds what was confirmed.
func reconnect(url string) {
	connection, channel := open(url)
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	queue := durableQueue(channel, "reconnect", 20, nil)
	restartBroker()
	<-closed
	connection, channel = open(url)
	bodies := drain(channel, queue)
	want("count", len(bodies), 20)
	for number, body := range bodies {
		want("body", body, strconv.Itoa(number))
	}
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
