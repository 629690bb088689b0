package line

// boundary finds the first key that ends a line: it tells the length of the keys up to and including it, 0 when there is
// none, and whether the key submits (^C and its like do not).
func boundary(keys []byte) (n int, accepts bool) {
	for i := 0; i < len(keys); {
		if _, k := pasted(keys[i:]); k > 0 {
			i += k
			continue
		}
		switch keys[i] {
		case 0x16:
			i += 2
			continue
		case '\r', '\n', 0x0f:
			return i + 1, true
		case 0x03:
			return i + 1, false
		case 0x1b:
			if k, _, _ := sequence(keys[i:]); k > 0 {
				i += k
				continue
			}
		}
		i++
	}
	return 0, false
}

// withoutReplies removes what a terminal, not a person, sends: answers to queries, focus and mouse reports.
func withoutReplies(p []byte) (keys []byte, replies bool) {
	for i := 0; i < len(p); {
		if n := reply(p[i:]); n > 0 {
			if !replies {
				keys = append([]byte(nil), p[:i]...)
			}
			replies = true
			i += n
			continue
		}
		if replies {
			keys = append(keys, p[i])
		}
		i++
	}
	if !replies {
		return p, false
	}
	return keys, true
}

// reply is the length of a terminal's answer at the start of p, 0 when there is none.
func reply(p []byte) int {
	if len(p) < 3 || p[0] != 0x1b {
		return 0
	}
	switch p[1] {
	case ']', 'P', '_', '^':
		for i := 2; i < len(p); i++ {
			if p[i] == 0x07 && p[1] == ']' {
				return i + 1
			}
			if p[i] == 0x1b && i+1 < len(p) && p[i+1] == '\\' {
				return i + 2
			}
		}
		return 0
	}
	n, final, params := sequence(p)
	if n == 0 || p[1] == 'O' {
		return 0
	}
	private := params != "" && params[0] >= '<' && params[0] <= '?'
	switch final {
	case 'R':
		if len(params) >= 3 {
			return n
		}
	case 'c', 'y', 'M', 'm', 'u':
		if private {
			return n
		}
	case 'n', 't':
		return n
	case 'I', 'O':
		if params == "" {
			return n
		}
	}
	return 0
}

// halfKey tells that the keys end in the middle of one: what comes next is part of it.
func halfKey(keys []byte) bool {
	n := len(keys)
	if n == 0 {
		return false
	}
	switch keys[n-1] {
	case 0x16, 0x18:
		return n < 2 || keys[n-2] != 0x16
	}
	return false
}

// externalEditor tells that the last key hands the line to an editor program and runs what that leaves.
func externalEditor(keys []byte) bool {
	n := len(keys)
	return n >= 2 && keys[n-2] == 0x18 && keys[n-1] == 0x05 || n >= 1 && keys[n-1] == 'v'
}
