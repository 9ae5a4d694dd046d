#pragma once
// What the koopman commands write in the same form.
#include <nlohmann/json.hpp>

#include "apps/ritz/frame/run.h"
#include "ritz/koopman/tower.h"

namespace ritz::app {

/// {task, limits: [{name, option, bounded}], certified, assumption}
inline Json tower_json(const koopman::Tower& tower) {
  Json limits = Json::array();
  for (const auto& limit : tower.limits) {
    limits.push_back({{"name", limit.name}, {"option", limit.option}, {"bounded", limit.bounded}});
  }
  return {{"task", tower.task},
          {"limits", std::move(limits)},
          {"certified", tower.certified},
          {"assumption", tower.assumption}};
}

}  // namespace ritz::app
