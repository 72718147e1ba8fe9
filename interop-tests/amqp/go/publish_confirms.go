package main

import amqp "github.com/rabbitmq/amqp091-go"

// publishConfirms: every publish is confirmed, and counted in its queue.
func publishConfirms(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "confirms", 0, nil)
	var confirms []*amqp.DeferredConfirmation
	for number := 0; number < 2000; number++ {
		confirms = append(confirms, send(channel, "", queue, persistent([]byte("x"))))
	}
	for _, confirm := range confirms {
		want("confirmed", confirm.Wait(), true)
	}
	want("messages", messageCount(channel, queue), 2000)
	want("purged", get1(channel.QueuePurge(queue, false)), 2000)
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
