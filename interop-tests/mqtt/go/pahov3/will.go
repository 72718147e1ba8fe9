package main

// will is sent when the connection is lost, and not after DISCONNECT.
func will(b *broker) {
	topic := fresh("will")
	watcher := b.connect()
	watcher.subscribe(topic, 2)
	get1(connect(b.options().SetWill(topic, "never", 1, false))).disconnect()
	get1(connect(b.options().SetWill(topic, "lost", 2, true))).hangUp()
	want("will", watcher.next(), message{topic, "lost", 2, false})
	late := b.connect()
	late.subscribe(topic, 1)
	want("kept", late.next(), message{topic, "lost", 1, true})
	late.publish(topic, "", 1, true)
}
