package main

import (
	"errors"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// badLogin: a wrong password is refused with the right code.
func badLogin(b *broker) {
	_, err := connect(b.options().SetPassword("wrong"))
	if !errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) && !errors.Is(err, packets.ErrorRefusedNotAuthorised) {
		panic(err)
	}
	b.connect().disconnect()
}
