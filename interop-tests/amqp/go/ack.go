package main

import "time"

// ack: prefetch bounds what is unacknowledged; what is acknowledged is gone; the rest comes back.
func ack(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "ack", 30, nil)
	must(channel.Qos(10, 0, false))
	deliveries := get1(channel.Consume(queue, "", false, false, false, false, nil))
	quiet := func() {
		select {
		case <-deliveries:
			panic("more than the prefetch")
		case <-time.After(200 * time.Millisecond):
		}
	}
	for tag := uint64(1); tag <= 10; tag++ {
		want("tag", (<-deliveries).DeliveryTag, tag)
	}
	quiet()
	must(channel.Ack(5, true))
	must(channel.Ack(7, false))
	for tag := uint64(11); tag <= 16; tag++ {
		want("tag", (<-deliveries).DeliveryTag, tag)
	}
	quiet()
	must(connection.Close())

	connection, channel = open(url)
	want("messages", messageCount(channel, queue), 24)
	first, _, err := channel.Get(queue, true)
	must(err)
	want("body", string(first.Body), "5")
	want("redelivered", first.Redelivered, true)
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
