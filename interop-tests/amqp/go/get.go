package main

// get: messages are fetched one by one, with a count of those that are left.
func get(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "get", 2, nil)
	first, there, err := channel.Get(queue, false)
	must(err)
	want("there", there, true)
	want("body", string(first.Body), "0")
	want("left", first.MessageCount, 1)
	want("routing key", first.RoutingKey, queue)
	must(first.Ack(false))
	second, _, err := channel.Get(queue, true)
	must(err)
	want("left", second.MessageCount, 0)
	_, there, err = channel.Get(queue, true)
	must(err)
	want("there", there, false)
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
