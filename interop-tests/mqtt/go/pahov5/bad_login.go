package main

import "fmt"

// badLogin: a wrong password is refused with the right code.
func badLogin(b *broker) {
	options := b.options()
	options.Password = []byte("wrong")
	refused, err := b.connect(options)
	if err == nil || refused.connack == nil || (refused.connack.ReasonCode != 0x86 && refused.connack.ReasonCode != 0x87) {
		panic(fmt.Sprint(refused.connack, err))
	}
	b.device().disconnect()
}
