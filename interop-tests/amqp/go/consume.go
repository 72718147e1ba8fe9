package main

import (
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// consume: a consumer gets everything in order with what the publisher said; a cancelled one gets nothing.
func consume(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "consume", 200, nil)
	moment := time.Unix(1_700_000_000, 0)
	send(channel, "", queue, amqp.Publishing{
		Headers: amqp.Table{"n": int32(1), "s": "text"}, Priority: 3, CorrelationId: "c", Timestamp: moment,
	}).Wait()
	deliveries := get1(channel.Consume(queue, "tag", true, false, false, false, nil))
	for number := 0; number < 200; number++ {
		want("body", string((<-deliveries).Body), strconv.Itoa(number))
	}
	last := <-deliveries
	want("n", last.Headers["n"].(int32), 1)
	want("s", last.Headers["s"].(string), "text")
	want("priority", last.Priority, 3)
	want("correlation id", last.CorrelationId, "c")
	want("timestamp", last.Timestamp.Equal(moment), true)
	want("consumer tag", last.ConsumerTag, "tag")
	must(channel.Cancel("tag", false))
	want("confirmed", send(channel, "", queue, persistent(nil)).Wait(), true)
	want("kept", messageCount(channel, queue), 1)
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
