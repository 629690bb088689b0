package main
import ("testing";"os";"bufio";"encoding/json";"fmt";"github.com/podbastion/podbastion/internal/tty";"github.com/podbastion/podbastion/shellparse/line")
func TestDbg(t *testing.T){
 f,_:=os.Open(os.Getenv("CAST")); s:=bufio.NewScanner(f); s.Buffer(nil,1<<24); s.Scan()
 var h struct{Width,Height int}; json.Unmarshal(s.Bytes(),&h)
 tr:=line.New(tty.Size{Cols:uint16(h.Width),Rows:uint16(h.Height)},line.Options{})
 last:=0.0
 for s.Scan(){ at,k,d,_:=event(s.Bytes()); if at-last>=quiet {tr.Settle()}; last=at
  switch k {case "o": tr.Output(d); case "i": tr.Keys(d); case "r": z,_:=parseSize(string(d)); tr.Resize(z)}
  if len(d)>150 {d=append(d[:100:100],d[len(d)-50:]...)}
  fmt.Printf("%.3f %s %q\n     %s\n",at,k,d,tr.Debug())
  for _,l:=range tr.Take(){fmt.Printf("   ===> %+v\n",l)}
 }
 tr.Close(); fmt.Println(tr.Take())
}
