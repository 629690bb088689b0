// Command agent: see docs/architecture.md.
package main

func main() {}
