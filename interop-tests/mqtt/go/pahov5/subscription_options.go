package main

import "github.com/eclipse/paho.golang/paho"

// subscriptionOptions: No Local, Retain As Published, Retain Handling and an identifier.
func subscriptionOptions(b *broker) {
	topic, identifier := fresh("options"), 42
	device, other := b.device(), b.device()
	other.publish(topic, "kept", 1, true)
	device.subscribeWith(&identifier, paho.SubscribeOptions{
		Topic: topic, QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2,
	})
	device.publish(topic, "mine", 1, false)
	other.publish(topic, "flagged", 1, true)
	got := device.next()
	want("message", plain(got), message{topic, "flagged", 1, true})
	want("identifier", *got.Properties.SubscriptionIdentifier, identifier)
	other.publish(topic, "", 1, true)
}
