package main

import "github.com/eclipse/paho.golang/paho"

// withWill connects a client with a will of QoS 2.
func (b *broker) withWill(topic, payload string, retain bool) *device {
	options := b.options()
	options.WillMessage = &paho.WillMessage{Topic: topic, Payload: []byte(payload), QoS: 2, Retain: retain}
	return get1(b.connect(options))
}

// will is sent when the connection is lost or DISCONNECT asks for it, and not else.
func will(b *broker) {
	topic := fresh("will")
	watcher, late := b.device(), b.device()
	watcher.subscribe(topic, 2)
	b.withWill(topic, "never", false).disconnect()
	must(b.withWill(topic, "asked", false).client.Disconnect(&paho.Disconnect{ReasonCode: 4}))
	want("asked", plain(watcher.next()), message{topic, "asked", 2, false})
	b.withWill(topic, "lost", true).hangUp()
	want("lost", plain(watcher.next()), message{topic, "lost", 2, false})
	late.subscribe(topic, 1)
	want("kept", plain(late.next()), message{topic, "lost", 1, true})
	late.publish(topic, "", 1, true)
}
