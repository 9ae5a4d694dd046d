# The headers as Doxygen is to read them: the comment at a header's head describes the file, with its
# indented lines as code, and a comment behind a member describes that member.
1 s@^#pragma once$@/// \\file@
2,/^([^\/]|$)/ {
  s@^//   @///       @
  s@^//( |$)@///\1@
}
s@^( {2,}[^ /].*[;,]) +// @\1 ///< @
s@^( {8,})// @\1///< @
