// Command bastionctl: see docs/architecture.md.
package main

func main() {}
