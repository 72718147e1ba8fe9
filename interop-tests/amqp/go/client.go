package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// must ends the program with what went wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// get1 is the value of a call that must not fail.
func get1[T any](value T, err error) T {
	must(err)
	return value
}

// want panics unless both are the same.
func want[T comparable](what string, got, wanted T) {
	if got != wanted {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, wanted))
	}
}

// fresh is a name nobody used.
func fresh(name string) string {
	random := make([]byte, 6)
	get1(rand.Read(random))
	return fmt.Sprintf("%s-%x", name, random)
}

// open gives a connection and a channel with publisher confirms.
func open(url string) (*amqp.Connection, *amqp.Channel) {
	connection := get1(amqp.Dial(url))
	channel := get1(connection.Channel())
	must(channel.Confirm(false))
	return connection, channel
}

// send publishes and leaves the confirm to be waited for.
func send(channel *amqp.Channel, exchange, key string, message amqp.Publishing) *amqp.DeferredConfirmation {
	return get1(channel.PublishWithDeferredConfirmWithContext(context.Background(), exchange, key, false, false, message))
}

// persistent is a message that survives a restart.
func persistent(body []byte) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
}

// durableQueue makes a durable queue that holds count confirmed messages "0", "1", ...
func durableQueue(channel *amqp.Channel, name string, count int, arguments amqp.Table) string {
	queue := get1(channel.QueueDeclare(fresh(name), true, false, false, false, arguments)).Name
	for number := 0; number < count; number++ {
		confirm := send(channel, "", queue, persistent([]byte(strconv.Itoa(number))))
		want("confirmed", confirm.Wait(), true)
	}
	return queue
}

func messageCount(channel *amqp.Channel, queue string) int {
	return get1(channel.QueueDeclarePassive(queue, true, false, false, false, nil)).Messages
}

// drain gives the bodies of all that is in a queue, fetched one by one.
func drain(channel *amqp.Channel, queue string) (bodies []string) {
	for {
		delivery, there, err := channel.Get(queue, true)
		must(err)
		if !there {
			return bodies
		}
		bodies = append(bodies, string(delivery.Body))
	}
}

// refused panics unless work, on a channel of its own, is refused with code.
func refused(connection *amqp.Connection, code int, work func(*amqp.Channel) error) {
	channel := get1(connection.Channel())
	var closed *amqp.Error
	if !errors.As(work(channel), &closed) {
		panic(fmt.Sprintf("not refused with %d", code))
	}
	want("code", closed.Code, code)
}

// restartBroker asks whoever runs this to restart the broker; it returns once connections are accepted again.
func restartBroker() {
	fmt.Println("restart")
	want("answer", get1(bufio.NewReader(os.Stdin).ReadString('\n')), "restarted\n")
}
