// Command helper is a program that can be a files helper and nothing else.
package main

import "github.com/podbastion/podbastion/agent/files"

func main() { files.Main() }
