// Your phone is connected over bluetooth: a terminal opens on your desktop.
// Run: go run phone-terminal.go
package main

import (
	"log"
	"os"

	"github.com/nats-io/nats.go"
)

func main() {
	url := os.Getenv("NATS_URL")
	if url == "" {
		url = nats.DefaultURL
	}
	connection, err := nats.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := connection.Subscribe("bluetooth.connected", func(*nats.Msg) {
		connection.Publish("wm.exec", []byte("xterm"))
	}); err != nil {
		log.Fatal(err)
	}
	select {}
}
