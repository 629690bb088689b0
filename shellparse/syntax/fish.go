package syntax

// fish adds the commands of a text in fish's language.
func (c *collector) fish(text string, at place) error {
	return ErrUnparsable
}
