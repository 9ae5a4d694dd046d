# Collects the programs in the comments of headers into one source: their includes first, then each
# program in a namespace of its own, then a main that runs them all.
#
#     awk -v root=/path/to/ritz -f collect.awk HEADER...
#
# A program is indented by four in a comment of // or ///, begins with its first #include and ends with
# the brace of its main, which returns 0 where its answers are right.
BEGIN { programs = 0; inside = 0; text = "" }
FNR == 1 && inside { unended() }
{
  if (!match($0, /^ *\/\/\/?    /)) {
    if (inside && $0 !~ /^ *\/\/\/?$/) unended()
    if (inside) text = text "\n"
    next
  }
  line = substr($0, RSTART + RLENGTH)
  sub(/^ /, "", line)
  if (line ~ /^#include /) {
    if (!inside) { inside = 1; has_main = 0; first = 0; text = "" }
    if (!(line in seen)) includes[++count] = line
    seen[line] = 1
    next
  }
  if (!inside) next
  if (!first) first = FNR
  if (has_main && line == "}") line = "  return 0;  // only a global main may leave it out\n}"
  text = text line "\n"
  if (line ~ /^int main\(/) has_main = 1
  if (has_main && line ~ /^  return 0;  .*}$/) {
    inside = 0
    programs++
    name[programs] = substr(FILENAME, length(root) + 2)
    body[programs] = "#line " first " \"" FILENAME "\"\nnamespace program_" programs " {\n" text "}  // namespace\n"
  }
}
function unended() {
  print FILENAME ":" first ": a program without the end of its main" >"/dev/stderr"
  failed = 1
  exit 1
}
END {
  if (failed) exit 1
  if (inside) unended()
  for (i = 1; i <= count; i++) print includes[i]
  print "#include \"tests/header_programs/run.h\""
  for (i = 1; i <= programs; i++) print body[i]
  print "int main() {\n  return ritz::test::run_programs({"
  for (i = 1; i <= programs; i++) print "      {\"" name[i] "\", program_" i "::main},"
  print "  });\n}"
}
