package screen

// sgr keeps of the colours what Style tells.
func (s *Screen) sgr() {
	p := &s.parser
	st := s.style >> styleShift
	if p.n == 0 {
		st = 0
	}
	setFg := func(c int) { st = st&^styleFg | uint32(c) }
	for i := 0; i < p.n; i++ {
		v := max(p.params[i], 0)
		switch {
		case v == 0:
			st = 0
		case v == 2:
			st |= StyleFaint
		case v == 22:
			st &^= StyleFaint
		case v == 7:
			st |= StyleReverse
		case v == 27:
			st &^= StyleReverse
		case v >= 30 && v <= 37:
			setFg(v - 30 + 1)
		case v >= 90 && v <= 97:
			setFg(v - 90 + 9)
		case v == 39:
			setFg(0)
		case v == 38 || v == 48 || v == 58:
			c, n := p.colour(i + 1)
			if v == 38 {
				setFg(c)
			}
			i += n
		}
		for i+1 < p.n && p.sub>>(i+1)&1 != 0 {
			i++ // sub-parameters that are not known
		}
	}
	s.style = st << styleShift
}

// colour reads an extended colour whose kind is parameter i, and tells how many parameters it took.
func (p *parser) colour(i int) (c, n int) {
	switch p.param(i, 0) {
	case 5:
		v := p.param(i+1, 0)
		switch {
		case v < 16:
			return v + 1, 2
		case v >= 232 && v < 248:
			return StyleGrey, 2
		}
		return StyleOther, 2
	case 2:
		if p.sub>>i&1 != 0 {
			return StyleOther, 1
		}
		r, g, b := p.param(i+1, 0), p.param(i+2, 0), p.param(i+3, 0)
		if max(r, g, b) < 160 && max(r, g, b)-min(r, g, b) < 24 {
			return StyleGrey, 4
		}
		return StyleOther, 4
	}
	return StyleOther, 0
}
