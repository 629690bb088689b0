// Command bastion: see docs/architecture.md.
package main

func main() {}
