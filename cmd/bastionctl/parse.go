package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/podbastion/podbastion/internal/cli"
	"github.com/podbastion/podbastion/shellparse"
)

func parse(_ context.Context, args []string, out, _ io.Writer) error {
	if len(args) > 1 {
		return cli.Usage("takes one recording")
	}
	in := io.Reader(os.Stdin)
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	lines, err := shellparse.Recording(in)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	_, _ = w.WriteString("[")
	sep := ""
	for _, l := range lines {
		if l.Program || l.Secret {
			continue
		}
		_, _ = w.WriteString(sep)
		sep = ", "
		writeJSON(w, l.Text)
	}
	_, _ = w.WriteString("]\n")
	return w.Flush()
}

// writeJSON writes a string so that bytes that are no UTF-8 survive, the way that recordings hold them.
func writeJSON(w *bufio.Writer, s string) {
	_ = w.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			_, _ = fmt.Fprintf(w, `\udc%02x`, s[i])
		case r == '"' || r == '\\':
			_, _ = w.WriteString(`\` + string(r))
		case r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029:
			_, _ = fmt.Fprintf(w, `\u%04x`, r)
		default:
			_, _ = w.WriteString(s[i : i+n])
		}
		i += n
	}
	_ = w.WriteByte('"')
}
