#include "studies/study.h"

namespace ritz::studies {

std::string_view name_of(Scale scale) {
  switch (scale) {
    case Scale::quick:
      return "quick";
    case Scale::desk:
      return "desk";
    case Scale::full:
      break;
  }
  return "full";
}

const std::vector<Study>& all_studies() {
  static const std::vector<Study> studies = {};
  return studies;
}

}  // namespace ritz::studies
