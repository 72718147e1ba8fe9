// Command pahov3 runs one behaviour, shown by paho.mqtt.golang in MQTT 3.1.1: `pahov3 BEHAVIOUR URL`.  It panics where
// the broker does otherwise.
package main

import (
	"fmt"
	"os"
)

var behaviours = map[string]func(*broker){
	"bad_login":        badLogin,
	"every_qos":        everyQos,
	"offline_messages": offlineMessages,
	"restart":          restart,
	"retained":         retained,
	"takeover":         takeover,
	"wildcards":        wildcards,
	"will":             will,
}

func main() {
	behaviours[os.Args[1]](newBroker(os.Args[2]))
	fmt.Println("shown")
}
