package verify

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublicKey(t *testing.T) {
	key, other := signer(t, 1).PublicKey(), signer(t, 2).PublicKey()
	v := verifierOf(t, noon, nil,
		`{name: alice, keys: ['no-pty,command="uptime" `+line(key)+`'], roles: [wide]}`,
		`{name: bob, keys: ['from="10.0.0.0/8" `+line(key)+`'], roles: [wide]}`,
		`{name: old, keys: ['expiry-time="20300601120000Z" `+line(key)+`'], roles: [wide]}`,
		`{name: new, keys: ['expiry-time="20300601120001Z" `+line(key)+`'], roles: [wide]}`,
		`{name: near, keys: ['`+line(key)+`'], roles: [near]}`)
	weak := rsaKey(t, 1024).PublicKey()
	tests := []struct {
		name    string
		account auth.Account
		key     ssh.PublicKey
		from    netip.AddrPort
		want    error
	}{
		{"its key", "alice", key, there, nil},
		{"another's key", "alice", other, there, auth.ErrUnknownKey},
		{"no such account", "nobody", key, there, auth.ErrUnknownAccount},
		{"empty account", "", key, there, auth.ErrUnknownAccount},
		{"weak key", "alice", weak, there, auth.ErrWeakKey},
		{"from= holds", "bob", key, here, nil},
		{"from= does not hold", "bob", key, there, auth.ErrSourceAddress},
		{"expired this second", "old", key, here, auth.ErrUnknownKey},
		{"a second left", "new", key, here, nil},
		{"role open to the address", "near", key, here, nil},
		{"no role open to the address", "near", key, there, auth.ErrSourceAddress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := v.PublicKey(tt.account, tt.key, tt.from)
			if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) {
				t.Fatalf("got %v, %v", p, err)
			}
		})
	}
	p, err := v.PublicKey("alice", key, there)
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Principal{Account: "alice", Method: auth.MethodKey, Fingerprint: fingerprint(key), ForceCommand: "uptime", NoPTY: true, Source: there}
	if !reflect.DeepEqual(*p, want) {
		t.Errorf("principal %+v", *p)
	}
}

func TestPassword(t *testing.T) {
	v := verifierOf(t, noon, nil, `{name: alice, password: "`+horseHash+`", roles: [near]}`,
		`{name: bob, keys: ['`+line(signer(t, 1).PublicKey())+`'], roles: [wide]}`)
	tests := []struct {
		name     string
		account  auth.Account
		password string
		from     netip.AddrPort
		want     error
	}{
		{"right", "alice", "correct horse", here, nil},
		{"wrong", "alice", "correct horsf", here, auth.ErrWrongPassword},
		{"empty", "alice", "", here, auth.ErrWrongPassword},
		{"the hash itself", "alice", horseHash, here, auth.ErrWrongPassword},
		{"right, from elsewhere", "alice", "correct horse", there, auth.ErrSourceAddress},
		{"wrong, from elsewhere", "alice", "x", there, auth.ErrWrongPassword},
		{"account has none", "bob", "correct horse", here, auth.ErrPasswordOff},
		{"no such account", "nobody", "correct horse", here, auth.ErrUnknownAccount},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := v.Password(context.Background(), tt.account, tt.password, tt.from)
			if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) {
				t.Fatalf("got %v, %v", p, err)
			}
			if p == nil {
				return
			}
			if !p.Password.Matches(tt.password) {
				t.Error("the principal does not say which password it was")
			}
			p.Password = nil
			if !reflect.DeepEqual(*p, auth.Principal{Account: "alice", Method: auth.MethodPassword, Source: here}) {
				t.Errorf("principal %+v", *p)
			}
		})
	}
}

func TestPasswordWaitsNoLongerThanItsContext(t *testing.T) {
	v := verifierOf(t, noon, nil, `{name: alice, password: "`+cheapHash+`", roles: [wide]}`)
	if err := v.hashes.Acquire(context.Background(), 2); err != nil { // both places are taken
		t.Fatal(err)
	}
	defer v.hashes.Release(2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := v.Password(ctx, "alice", "x", here); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// The answer for an account that is not there, or has no password, takes the time of one that has.
func TestPasswordTakesAlikeLongForUnknownAccounts(t *testing.T) {
	v := verifierOf(t, noon, nil, `{name: alice, password: "`+horseHash+`", roles: [wide]}`,
		`{name: bob, keys: ['`+line(signer(t, 1).PublicKey())+`'], roles: [wide]}`)
	fastest := func(account auth.Account) time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			if _, err := v.Password(context.Background(), account, "wrong", here); err == nil {
				t.Fatal("accepted")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	known := fastest("alice")
	for _, account := range []auth.Account{"bob", "nobody"} {
		// Without the decoy it takes microseconds; the bound leaves room for a busy machine.
		if took := fastest(account); took < known/3 {
			t.Errorf("%s: %s, a known account %s", account, took, known)
		}
	}
}

// Touch is checked by the SSH library once the front has taken this package's answer; here both work together.
func TestSecurityKeyMustProveTouch(t *testing.T) {
	for _, touched := range []bool{true, false} {
		key := newSecurityKey(t, touched)
		v := verifierOf(t, noon, nil, `{name: alice, keys: ['`+line(key.public)+`'], roles: [wide]}`)
		host := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			_, err := v.PublicKey(auth.Account(c.User()), k, here)
			return nil, err
		}}
		host.AddHostKey(signer(t, 9))
		client := &ssh.ClientConfig{User: "alice", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			far, err := listener.Accept()
			if err != nil {
				return
			}
			_, _, _, _ = ssh.NewServerConn(far, host) // how it ended is seen from the client
			_ = far.Close()
		}()
		conn, err := ssh.Dial("tcp", listener.Addr().String(), client)
		if err == nil {
			_ = conn.Close()
		}
		_ = listener.Close()
		<-done
		if (err == nil) != touched {
			t.Errorf("touched %v: %v", touched, err)
		}
	}
}
