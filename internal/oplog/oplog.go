// Package oplog makes a daemon's operational log, the one way in which all of them write it.
package oplog

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// New makes a log to w. The level is error, warn, info or debug; the format is text or json.
func New(level, format string, w io.Writer) (*logrus.Logger, error) {
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	log := logrus.New()
	log.SetLevel(l)
	log.SetOutput(w)
	switch format {
	case "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true}) // quotes what is not printable
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, fmt.Errorf("log.format is %q; it must be text or json", format)
	}
	return log, nil
}

// Kubernetes has what the Kubernetes libraries say go the way of all entries, for the whole process.
func Kubernetes(log *logrus.Logger) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL") // errors would go to standard error, too
	klog.SetOutput(kubernetes{log})
}

// kubernetes turns klog's lines into entries. They repeat, for each session that did not end by itself, what the agent
// has logged better.
type kubernetes struct{ log *logrus.Logger }

func (k kubernetes) Write(p []byte) (int, error) {
	k.log.WithField("part", "kubernetes").Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}
