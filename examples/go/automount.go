// Mounts a USB stick when it is plugged in, and unmounts it when it goes; natsmount does so with more care.
// Run as root: go run automount.go /myplace
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/exec"

	"github.com/nats-io/nats.go"
)

type stick struct {
	Devpath string
	Volumes []struct{ Devnode, Fstype string }
}

// No shell: a label may be anything.
func run(program string, args ...string) {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		log.Printf("%s: %v %s", program, err, out)
	}
}

func main() {
	place := "/myplace"
	if len(os.Args) > 1 {
		place = os.Args[1]
	}
	url := os.Getenv("NATS_URL")
	if url == "" {
		url = nats.DefaultURL
	}
	connection, err := nats.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	var mounted string
	if _, err := connection.Subscribe("hardware.usb.*", func(msg *nats.Msg) {
		var stick stick
		if json.Unmarshal(msg.Data, &stick) != nil {
			return
		}
		switch {
		case msg.Subject == "hardware.usb.add" && mounted == "":
			for _, volume := range stick.Volumes {
				if volume.Fstype != "" {
					mounted = stick.Devpath
					run("mount", "-o", "nosuid,nodev,noexec", volume.Devnode, place)
					return
				}
			}
		case msg.Subject == "hardware.usb.remove" && mounted == stick.Devpath:
			mounted = ""
			run("umount", "--lazy", place)
		}
	}); err != nil {
		log.Fatal(err)
	}
	select {}
}
