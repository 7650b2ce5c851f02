package rollup

import "slices"

// compareRows sets the rows of each test beside each other, where there are
// several.
func compareRows(rows []Row) {
	byTest := make(map[string][]int)
	for i, row := range rows {
		byTest[row.Test] = append(byTest[row.Test], i)
	}
	for _, same := range byTest {
		if len(same) < 2 {
			continue
		}
		label := parity(rows, same)
		for _, i := range same {
			parity := &Parity{Label: label}
			for _, j := range same {
				if o := rows[j]; i != j {
					parity.Peers = append(parity.Peers, Peer{o.Platform, o.Arch, o.Accel, o.Image, o.Verdict})
				}
			}
			rows[i].Parity = parity
		}
	}
}

// parity says where the rows of one test fail. Those that cannot tell, since
// they were skipped or ended in an error, are left out.
func parity(rows []Row, same []int) string {
	var failed, passed []Row
	for _, i := range same {
		switch v := rows[i].Verdict; {
		case v == Fail || v == Known:
			failed = append(failed, rows[i])
		case v.Passed():
			passed = append(passed, rows[i])
		}
	}
	switch {
	case len(failed) == 0 || len(failed)+len(passed) < 2:
		return ""
	case len(passed) == 0:
		return "everywhere"
	}
	for _, property := range []func(Row) string{
		func(r Row) string { return r.Arch }, func(r Row) string { return r.Accel },
		func(r Row) string { return r.Platform }, func(r Row) string { return r.Image },
	} {
		value := property(failed[0])
		all := value != "" && !slices.ContainsFunc(failed, func(r Row) bool { return property(r) != value })
		if all && !slices.ContainsFunc(passed, func(r Row) bool { return property(r) == value }) {
			return value + " only"
		}
	}
	return "mixed"
}
