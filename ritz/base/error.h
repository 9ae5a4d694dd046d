#pragma once
// Every error ritz throws. A message is one line, `what: expected E, found F (where)`: the argument
// or file it speaks of, what it should have been, what it was, and the file, row or argument.
#include <stdexcept>
#include <string>
#include <string_view>

namespace ritz {

/// Base of all errors of the library; catch this to catch them all.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// `what: expected E, found F (where)`; the parenthesis is left out when `where` is empty. Control
/// characters and line breaks in any part (file names, cell contents) are shown escaped.
std::string format_error(std::string_view what, std::string_view expected, std::string_view found,
                         std::string_view where = {});

/// An error that names what it is about, what was expected there and what was found.
class ExpectationError : public Error {
 public:
  ExpectationError(std::string_view what, std::string_view expected, std::string_view found,
                   std::string_view where = {})
      : Error(format_error(what, expected, found, where)) {}
  /// From a message that has that form already (it came from another process).
  explicit ExpectationError(const std::string& message) : Error(message) {}
};

/// An argument is outside what its documentation allows. The program's exit code is 3.
class InvalidArgument : public ExpectationError {
  using ExpectationError::ExpectationError;
};

/// A file, or what is in it, is not what it should be. The program's exit code is 3.
class DataError : public ExpectationError {
  using ExpectationError::ExpectationError;
};

/// The command line alone is wrong, or a target exists and may not be overwritten. Exit code 2.
class UsageError : public ExpectationError {
  using ExpectationError::ExpectationError;
};

/// The operation exists, but not for this operator, dtype, device or build. Exit code 3.
class Unsupported : public Error {
  using Error::Error;
};

/// An iteration did not reach its tolerance or left the finite numbers. Exit code 4.
class NotConverged : public Error {
  using Error::Error;
};

/// The machine failed: a full disk, no memory, a lost rank. Exit code 1.
class SystemFailure : public Error {
  using Error::Error;
};

/// SIGINT or SIGTERM arrived and the work stopped in order. Exit code 130.
class Interrupted : public Error {
  using Error::Error;
};

}  // namespace ritz
