// Package exitcode is the one place that says which exit status of our programs means what.
package exitcode

// The statuses that bastion, agent and bastionctl end with.
const (
	OK       = 0
	Failure  = 1 // something went wrong at run time
	Usage    = 2 // unknown command, flag or argument
	Config   = 3 // a configuration or roles file does not hold
	Denied   = 4 // explain: the verdict is deny
	NotFound = 5 // explain: no such account or target
)
