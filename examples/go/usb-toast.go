// A toast for every USB stick, with the official client for Go.
// Run: go run usb-toast.go (go get github.com/nats-io/nats.go), or with Debian's golang-github-nats-io-go-nats-dev:
// GO111MODULE=off GOPATH=/usr/share/gocode go run usb-toast.go
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
	if _, err := connection.Subscribe("hardware.usb.add", func(*nats.Msg) {
		connection.Publish("toast.in", []byte("a USB stick was plugged in!"))
	}); err != nil {
		log.Fatal(err)
	}
	select {}
}
