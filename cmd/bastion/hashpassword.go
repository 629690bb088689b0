package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/cli"
)

// hashPassword reads a password, twice and without echo from a terminal, else one line, and prints its hash.
func hashPassword(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := pflag.NewFlagSet("hash-password", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprint(errOut, "bastion hash-password\n\nReads a password from the terminal, without echo, or one line from standard input, and prints\n"+
			"its argon2id hash for the key \"password\" of an account in the roles document.\n")
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() > 0:
		return cli.Usage("takes no arguments: a password on a command line is seen by others")
	}
	read := onePassword
	if term.IsTerminal(int(os.Stdin.Fd())) {
		read = askTwice
	}
	password, err := read(ctx, os.Stdin, errOut)
	if err != nil {
		return err
	}
	if err := strength(password); err != nil {
		return err
	}
	hash, err := auth.HashPassword(password)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, hash)
	return err
}

// onePassword reads one line.
func onePassword(_ context.Context, in *os.File, _ io.Writer) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, auth.MaxPassword+3))
	if err != nil {
		return "", fmt.Errorf("cannot read password: %w", err)
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(line) > auth.MaxPassword {
		return "", fmt.Errorf("the password is too long: want at most %d bytes", auth.MaxPassword)
	}
	if bytes.ContainsAny(line, "\r\n") {
		return "", errors.New("more than one line on standard input: want the password only")
	}
	return string(line), nil
}

func askTwice(ctx context.Context, terminal *os.File, prompts io.Writer) (string, error) {
	first, err := ask(ctx, terminal, prompts, "Password: ")
	if err != nil {
		return "", err
	}
	if err := strength(first); err != nil {
		return "", err
	}
	again, err := ask(ctx, terminal, prompts, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two are not the same; nothing was hashed")
	}
	return first, nil
}

// ask reads a line without echo. When the context ends, as on ^C, the terminal gets its echo back.
func ask(ctx context.Context, terminal *os.File, prompts io.Writer, prompt string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("cannot read terminal: %w", err)
	}
	fmt.Fprint(prompts, prompt)
	defer fmt.Fprintln(prompts)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // ends with the line, or with the process
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("cannot read password: %w", a.err)
		}
		return string(a.text), nil
	case <-ctx.Done():
		return "", errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// What a password must have: enough length to outlast guessing through the bastion and off a stolen roles document.
const (
	minLength   = 12 // characters
	minDistinct = 6  // different ones
	minBeyond   = 8  // characters that are not part of a common word or run
)

// commonParts begin or fill most passwords that are guessed first.
var commonParts = []string{
	"password", "passwort", "passw0rd", "p@ssw0rd", "qwertyuiop", "qwerty", "qwertz", "azerty", "asdfghjkl", "asdfgh", "zxcvbn", "1q2w3e4r", "1qaz2wsx",
	"abcdefghijklmnopqrstuvwxyz", "abcdef", "abc123", "01234567890", "1234567890", "12345678", "123456", "1234", "987654321", "letmein", "welcome", "iloveyou",
	"changeme", "admin", "administrator", "secret", "default", "podbastion", "bastion", "kubernetes", "monkey", "dragon", "login", "root",
}

// strength refuses what is guessed soon. It asks for length, not for kinds of characters.
func strength(password string) error {
	if !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		return errors.New("the password holds bytes that cannot be typed: want text")
	}
	n := utf8.RuneCountInString(password)
	if n < minLength {
		return fmt.Errorf("the password is too short: want at least %d characters, for example four unrelated words", minLength)
	}
	distinct := make(map[rune]bool)
	for _, r := range password {
		distinct[r] = true
	}
	if len(distinct) < minDistinct {
		return fmt.Errorf("the password has only %d different characters: want at least %d", len(distinct), minDistinct)
	}
	rest := strings.ToLower(password)
	for _, part := range commonParts {
		rest = strings.ReplaceAll(rest, part, "")
	}
	if utf8.RuneCountInString(rest) < minBeyond {
		return errors.New("the password is little more than a common one: want for example four unrelated words")
	}
	return nil
}
