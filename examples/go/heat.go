// It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
// Run: go run heat.go
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

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
	if _, err := connection.Subscribe("temperature0", func(msg *nats.Msg) {
		if temperature, err := strconv.ParseFloat(string(msg.Data), 64); err != nil || temperature > 18 {
			return
		}
		pid, err := connection.Request("ps.calibre", nil, 2*time.Second)
		if err != nil {
			return
		}
		// An empty answer: there is no such process.
		for len(pid.Data) > 0 {
			fmt.Println("HEAT!")
		}
	}); err != nil {
		log.Fatal(err)
	}
	select {}
}
