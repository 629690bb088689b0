// Package settings fills a configuration struct from its defaults, a YAML file, the environment and flags, in that
// order, the later winning. The struct's tags are the single source of the reference that users read:
//
//	Listen string `yaml:"listen" default:":2222" doc:"address that SSH clients connect to"`
//
// Structs nest ("audit.log"); slices of structs can be set in the file only.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file's size.
const maxFile = 1 << 20

// Source tells where settings come from. Empty parts are left out.
type Source struct {
	File      string                      // YAML file; unknown keys are errors
	EnvPrefix string                      // "PODBASTION" makes PODBASTION_AUDIT_LOG set audit.log
	LookupEnv func(string) (string, bool) // os.LookupEnv, unless a test says otherwise
	Flags     *pflag.FlagSet              // flags that AddFlags made; only changed ones count
}

// field is one leaf of the struct.
type field struct {
	key   string // dotted
	value reflect.Value
	deflt string
	doc   string
	leaf  bool // settable by one string
}

// Load sets every field of the struct that dst points to. Its errors name the file and line, the variable or the flag.
func Load(dst any, src Source) error {
	fields := walk(reflect.ValueOf(dst).Elem(), "")
	for _, f := range fields {
		if f.deflt == "" {
			continue
		}
		if err := set(f, f.deflt); err != nil {
			return fmt.Errorf("settings: default of %s: %w", f.key, err)
		}
	}
	if src.File != "" {
		if err := loadFile(dst, src.File); err != nil {
			return err
		}
	}
	for _, f := range fields {
		if !f.leaf {
			continue
		}
		if src.EnvPrefix != "" && src.LookupEnv != nil {
			name := envName(src.EnvPrefix, f.key)
			if v, ok := src.LookupEnv(name); ok {
				if err := set(f, v); err != nil {
					return fmt.Errorf("settings: environment variable %s: %w", name, err)
				}
			}
		}
		if src.Flags != nil && src.Flags.Changed(f.key) {
			v, err := src.Flags.GetString(f.key)
			if err == nil {
				err = set(f, v)
			}
			if err != nil {
				return fmt.Errorf("settings: flag --%s: %w", f.key, err)
			}
		}
	}
	return nil
}

// AddFlags makes one string flag for each setting that a string can set.
func AddFlags(flags *pflag.FlagSet, v any) {
	for _, f := range walk(reflect.ValueOf(v).Elem(), "") {
		if f.leaf {
			flags.String(f.key, "", f.doc)
		}
	}
}

// Reference writes one entry a setting: key, type, default, environment variable, and what it is for.
func Reference(w io.Writer, v any, envPrefix string) error {
	var b bytes.Buffer
	for _, f := range walk(reflect.ValueOf(v).Elem(), "") {
		deflt := f.deflt
		if deflt == "" {
			deflt = "none"
		}
		fmt.Fprintf(&b, "%s (%s, default: %s)\n", f.key, typeName(f.value.Type()), deflt)
		if f.leaf {
			fmt.Fprintf(&b, "    flag --%s, environment %s\n", f.key, envName(envPrefix, f.key))
		}
		fmt.Fprintf(&b, "    %s\n", f.doc)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func loadFile(dst any, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("settings: reading %s: %w", path, err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("settings: %s is larger than %d bytes", path, maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(dst); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("settings: %s: %w", path, err)
	}
	return nil
}

func walk(v reflect.Value, prefix string) []field {
	var out []field
	t := v.Type()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		key := prefix + name
		if v.Field(i).Kind() == reflect.Struct {
			out = append(out, walk(v.Field(i), key+".")...)
			continue
		}
		tag := t.Field(i).Tag
		out = append(out, field{
			key: key, value: v.Field(i), deflt: tag.Get("default"), doc: tag.Get("doc"), leaf: isLeaf(v.Field(i).Type()),
		})
	}
	return out
}

func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice:
		return t.Elem().Kind() == reflect.String
	case reflect.Map, reflect.Pointer, reflect.Struct:
		return false
	}
	return true
}

// set parses text as the field's type. Lists are separated by commas.
func set(f field, text string) error {
	if f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.String {
		var list []string
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		f.value.Set(reflect.ValueOf(list))
		return nil
	}
	if f.value.Kind() == reflect.String {
		f.value.SetString(text)
		return nil
	}
	if err := yaml.Unmarshal([]byte(text), f.value.Addr().Interface()); err != nil {
		return fmt.Errorf("%q is no %s", text, typeName(f.value.Type()))
	}
	return nil
}

func envName(prefix, key string) string {
	var b strings.Builder
	for _, r := range key {
		switch {
		case r == '.':
			b.WriteByte('_')
		case r >= 'A' && r <= 'Z':
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return prefix + "_" + strings.ToUpper(b.String())
}

func typeName(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "duration such as 30s"
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "list, in the file only"
		}
		return "list, commas between"
	case reflect.Map:
		return "map, in the file only"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64, reflect.Int32, reflect.Uint32, reflect.Uint:
		return "number"
	}
	return "text"
}
