package main

import (
	"bytes"
	"crypto/rand"
)

// largeMessages: messages of 10 MB arrive as they were sent.
func largeMessages(url string) {
	connection, channel := open(url)
	queue := durableQueue(channel, "large", 0, nil)
	var sent [][]byte
	for less := 0; less < 3; less++ {
		body := make([]byte, 10_000_000-less)
		get1(rand.Read(body))
		sent = append(sent, body)
		want("confirmed", send(channel, "", queue, persistent(body)).Wait(), true)
	}
	for _, body := range sent {
		delivery, _, err := channel.Get(queue, true)
		must(err)
		want("same", bytes.Equal(delivery.Body, body), true)
	}
	get1(channel.QueueDelete(queue, false, false, false))
	must(connection.Close())
}
