package main

// requeue: what is given back keeps its place and is flagged as redelivered.
func requeue(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "requeue", 4, nil)
	for number := 0; number < 2; number++ {
		delivery, _, err := channel.Get(queue, false)
		must(err)
		want("redelivered", delivery.Redelivered, false)
	}
	must(channel.Reject(2, true))
	must(channel.Nack(1, false, true))
	for number, body := range []string{"0", "1", "2", "3"} {
		delivery, _, err := channel.Get(queue, true)
		must(err)
		want("body", string(delivery.Body), body)
		want("redelivered", delivery.Redelivered, number < 2)
	}
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
