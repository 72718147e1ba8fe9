package main

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// mandatoryReturn: a mandatory message that leads nowhere comes back, and is confirmed all the same.
func mandatoryReturn(url string) {
	connection, channel := open(url)
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirm := get1(channel.PublishWithDeferredConfirmWithContext(
		context.Background(), "", fresh("nowhere"), true, false, persistent([]byte("back"))))
	want("confirmed", confirm.Wait(), true)
	returned := <-returns
	want("code", returned.ReplyCode, uint16(312))
	want("text", returned.ReplyText, "NO_ROUTE")
	want("body", string(returned.Body), "back")
	must(connection.Close())
}
