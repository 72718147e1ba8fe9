package main

import amqp "github.com/rabbitmq/amqp091-go"

// nack: what is refused for good goes to the dead-letter exchange.
func nack(url string) {
	connection, channel := open(url)
	dead := durableQueue(channel, "dead", 0, nil)
	queue := durableQueue(channel, "nack", 3, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
	})
	for number := 0; number < 3; number++ {
		_, there, err := channel.Get(queue, false)
		must(err)
		want("there", there, true)
	}
	must(channel.Nack(3, true, false))
	letters := get1(channel.Consume(dead, "", true, false, false, false, nil))
	seen := map[string]bool{}
	for number := 0; number < 3; number++ {
		letter := <-letters
		death := letter.Headers["x-death"].([]interface{})[0].(amqp.Table)
		want("reason", death["reason"].(string), "rejected")
		want("queue", death["queue"].(string), queue)
		seen[string(letter.Body)] = true
	}
	want("letters", seen["0"] && seen["1"] && seen["2"], true)
	want("left", messageCount(channel, queue), 0)
	get1(channel.QueueDelete(queue, false, false, false))
	get1(channel.QueueDelete(dead, false, false, false))
	must(connection.Close())
}
