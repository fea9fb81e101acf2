package mtls_test

import (
	"fmt"
	"log/slog"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
)

// A host that "hyper ca issue" made certificates for.
func Example() {
	tr, err := mtls.New(mtls.Config{Files: authority.HostFiles("/etc/hyper"), Log: slog.Default()})
	if err != nil {
		fmt.Println(err)
		return
	}
	transports := channel.System(channel.SystemConfig{})
	transports["tls"] = tr
}
