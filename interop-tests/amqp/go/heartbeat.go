package main

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// heartbeat: a connection that only its heartbeats keep alive is kept alive.
func heartbeat(url string) {
	connection := get1(amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second}))
	channel := get1(connection.Channel())
	time.Sleep(4 * time.Second)
	must(channel.Confirm(false))
	get1(channel.QueueDelete(durableQueue(channel, "heartbeat", 1, nil), false, false, false))
	must(connection.Close())
}
