// Command helper serves files in a container's root, as one of its users, and can do nothing else. The agent holds it
// as bytes when `make build` built it; an agent that was built without uses itself.
package main

import (
	"fmt"
	"os"

	"github.com/podbastion/podbastion/agent/files/serve"
)

func main() {
	serve.Main()
	fmt.Fprintln(os.Stderr, "this program is started by the agent")
	os.Exit(2)
}
