// Command pahov5 runs one behaviour, shown by paho.golang in MQTT 5: `pahov5 BEHAVIOUR URL`.  It panics where the
// broker does otherwise.
package main

import (
	"fmt"
	"os"
)

var behaviours = map[string]func(*broker){
	"bad_login":            badLogin,
	"every_qos":            everyQos,
	"offline_messages":     offlineMessages,
	"request_response":     requestResponse,
	"restart":              restart,
	"retained":             retained,
	"subscription_options": subscriptionOptions,
	"takeover_reason":      takeoverReason,
	"wildcards":            wildcards,
	"will":                 will,
}

func main() {
	behaviours[os.Args[1]](newBroker(os.Args[2]))
	fmt.Println("shown")
}
