package authority_test

import (
	"fmt"
	"log"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/id"
)

// An operator makes an authority, and with it what a host needs. The host issues
// to a proc that it spawns, and hands it the bytes.
func Example() {
	demo, err := authority.New("demo", 10*365*24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	alpha, err := demo.Host("alpha", 90*24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	worker := id.Proc{Host: "alpha", Name: "worker", UID: 0x4f2a91c03b7d55e1}
	made, err := alpha.Issuer.Proc(worker, 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	bytes, err := made.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}

	var credentials authority.Credentials // in the proc
	if err := credentials.UnmarshalBinary(bytes); err != nil {
		log.Fatal(err)
	}
	name, err := demo.Trust().Verify(credentials.Chain, time.Now()) // at a peer
	fmt.Println(name, err)
	fmt.Println(name.Covers(worker), name.Covers(id.Proc{Host: "alpha", Name: "other", UID: 1}))
	// Output:
	// hyper://alpha.demo/alpha/worker~4f2a91c03b7d55e1 <nil>
	// true false
}
