#include "ritz/base/version.h"

namespace ritz {

std::string_view version() {
  return RITZ_VERSION;
}

}  // namespace ritz
