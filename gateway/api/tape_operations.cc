// Tapes: CreateTapes ... CancelRetrieval of StorageGateway_20130630, and our own.
#include "gateway/api/service.h"
#include "gateway/barcode.h"

namespace coldshelf::api {

namespace {

constexpr uint64_t kMaxListLimit = 100'000;

double seconds(int64_t ms) { return static_cast<double>(ms) / 1000.0; }

constexpr size_t kPage = 1'000;

bool is_archive(TapeStatus status) {
  return status == TapeStatus::archived || status == TapeStatus::retrieving;
}

}  // namespace

// Of this gateway's account and region, as all its ARNs are.
Result<std::string> Service::tape_of(const std::string& arn) const {
  const std::string prefix = tape_arn("");
  if (arn.starts_with(prefix)) return arn.substr(prefix.size());
  return Error(ErrorCode::not_found, "there is no tape " + arn);
}

Result<std::string> Service::tape_of(const Params& in) const {
  ASSIGN_OR_RETURN(const std::string arn, in.text("TapeARN"));
  return tape_of(arn);
}

Json Service::aws_tape(const TapeView& view) const {
  const TapeRow& row = view.row;
  Json out = {{"TapeARN", tape_arn(row.barcode)},
              {"TapeBarcode", row.barcode},
              {"TapeCreatedDate", seconds(row.created_ms)},
              {"TapeSizeInBytes", row.capacity_bytes},
              {"TapeStatus", to_string(row.status)},
              {"TapeUsedInBytes", row.used_bytes},
              {"PoolId", row.pool},
              {"Worm", row.worm}};
  if (row.locked_until_ms != 0 && row.archived_ms != 0) {
    out["RetentionStartDate"] = seconds(row.archived_ms);
  }
  if (row.archived_ms != 0) out["PoolEntryDate"] = seconds(row.archived_ms);
  if (view.job) {
    const JobRow& job = *view.job;
    out["Progress"] = job.total_bytes == 0 ? 0.0
                                           : 100.0 * static_cast<double>(job.done_bytes) /
                                                 static_cast<double>(job.total_bytes);
  }
  if (view.element && view.element->type == ElementType::data_transfer) {
    out["VTLDevice"] = device_arn(drive_device_name(view.element->number));
  } else if (view.element) {
    out["VTLDevice"] = device_arn(std::string(kChangerDeviceName));
  }
  return out;
}

Json Service::own_tape(const TapeView& view) const {
  const TapeRow& row = view.row;
  Json out = {{"Barcode", row.barcode},
              {"Uuid", row.uuid.to_string()},
              {"Medium", row.medium},
              {"Status", to_string(row.status)},
              {"SizeInBytes", row.capacity_bytes},
              {"UsedInBytes", row.used_bytes},
              {"StoredInBytes", row.stored_bytes},
              {"Pool", row.pool},
              {"Location", view.location},
              {"Worm", row.worm},
              {"WriteProtected", row.write_protected},
              {"Pinned", view.pinned},
              {"LegalHold", view.held},
              {"Created", format_utc(row.created_ms)},
              {"StatusChanged", format_utc(row.status_changed_ms)},
              {"Problem", row.problem}};
  if (const auto parts = decode_parts(row.parts); parts.ok() && !parts->empty()) {
    out["Parts"] = describe_parts(*parts);
  }
  if (row.locked_until_ms != 0) {
    out["Lock"] = row.lock_mode;
    out["LockedUntil"] = format_utc(row.locked_until_ms);
  }
  if (row.archived_ms != 0) out["Archived"] = format_utc(row.archived_ms);
  if (view.element) out["Address"] = view.element->address;
  if (view.job) out["Job"] = job_json(*view.job);
  add_key(out, row);
  return out;
}

Status check_tape_size(uint64_t bytes) {
  if (bytes != 0 && bytes % GiB == 0) return {};
  return Error(ErrorCode::invalid_argument, "TapeSizeInBytes must be a multiple of 1 GiB");
}

// One key encrypts this gateway's tapes, or none does: another one cannot be asked for.
Status Service::check_encryption(const Params& in) const {
  ASSIGN_OR_RETURN(const bool wanted, in.flag_or("KMSEncrypted", false));
  ASSIGN_OR_RETURN(const std::string key, in.text_or("KMSKey", ""));
  if (wanted && !env_.config.encryption.enabled()) {
    return Error(ErrorCode::not_supported, "this gateway has no key: see [encryption]");
  }
  if (!key.empty() && (!wanted || key != env_.config.encryption.kms_key_id)) {
    return Error(ErrorCode::not_supported,
                 "KMSKey must be the gateway's own, with KMSEncrypted: see [encryption]");
  }
  return {};
}

// What CreateTapes and CreateTapeWithBarcode have in common.
Result<TapeService::CreateRequest> Service::tape_request(const Params& in) const {
  TapeService::CreateRequest request;
  ASSIGN_OR_RETURN(request.size_bytes, in.number("TapeSizeInBytes", 0, UINT64_MAX));
  TRY(check_tape_size(request.size_bytes));
  ASSIGN_OR_RETURN(const std::string pool, in.text_or("PoolId", ""));
  request.pool = barcode_of(pool);
  ASSIGN_OR_RETURN(request.worm, in.flag_or("Worm", false));
  ASSIGN_OR_RETURN(const TagMap tags, tags_of(in));
  if (!tags.empty()) request.properties[Tags::kProperty] = Tags::encode(tags);
  TRY(check_encryption(in));
  return request;
}

Result<Json> Service::aws_create_tapes(const Params& in) {
  ASSIGN_OR_RETURN(TapeService::CreateRequest request, tape_request(in));
  ASSIGN_OR_RETURN(const uint64_t count, in.number("NumTapesToCreate", 1, 10));
  ASSIGN_OR_RETURN(const std::string prefix, in.text("TapeBarcodePrefix"));
  TRY(check_barcode_prefix(prefix));
  // AWS appends a unique ID of its own, too. It says nothing of a medium, even if it should end
  // like a suffix.
  request.medium = std::string(env_.tapes->options().drive->medium);
  Json arns = Json::array();
  for (uint64_t i = 0; i < count; ++i) {
    request.barcode = random_barcode(prefix, *env_.tapes->env().random);
    ASSIGN_OR_RETURN(const auto made, env_.tapes->create(request));
    arns.push_back(tape_arn(made.front().row.barcode));
  }
  return Json{{"TapeARNs", arns}};
}

Json Service::aws_archive(const TapeView& view) const {
  Json out = aws_tape(view);
  out.erase("VTLDevice");
  out.erase("Progress");
  if (view.row.archived_ms != 0) out["CompletionTime"] = seconds(view.row.archived_ms);
  if (view.row.status == TapeStatus::retrieving) out["RetrievedTo"] = gateway_arn();
  return out;
}

Result<Json> Service::describe_tapes(const Params& in, bool archived, const char* list_name) {
  ASSIGN_OR_RETURN(const auto arns, in.texts("TapeARNs"));
  ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
  ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, INT32_MAX));
  Json out;
  out[list_name] = Json::array();
  const auto add = [&](const TapeView& view) {
    out[list_name].push_back(archived ? aws_archive(view) : aws_tape(view));
  };
  if (!arns.empty()) {
    for (const std::string& arn : arns) {
      ASSIGN_OR_RETURN(const std::string barcode, tape_of(arn));
      ASSIGN_OR_RETURN(const TapeView view, env_.tapes->show(barcode));
      if (is_archive(view.row.status) == archived) add(view);
    }
    return out;
  }
  // Rows are cheap, views are not: only those that are shown are made.
  std::string after = marker;
  while (true) {
    ASSIGN_OR_RETURN(const auto rows, catalog().tapes(kPage, after));
    for (const TapeRow& row : rows) {
      if (is_archive(row.status) != archived) continue;
      if (out[list_name].size() == limit) {
        out["Marker"] = after;
        return out;
      }
      after = row.barcode;
      const auto view = env_.tapes->show(row.barcode);
      if (view.ok()) add(*view);  // else it went meanwhile
    }
    if (rows.size() < kPage) return out;
    after = rows.back().barcode;
  }
}

Result<Json> Service::aws_list_tapes(const Params& in) {
  ASSIGN_OR_RETURN(const auto arns, in.texts("TapeARNs"));
  ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
  ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, kMaxListLimit));
  std::vector<TapeRow> rows;
  if (arns.empty()) {
    ASSIGN_OR_RETURN(rows, catalog().tapes(limit + 1, marker));
  }
  for (const std::string& arn : arns) {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(arn));
    ASSIGN_OR_RETURN(TapeView view, env_.tapes->show(barcode));
    rows.push_back(std::move(view.row));
  }
  Json out = {{"TapeInfos", Json::array()}};
  for (const TapeRow& row : rows) {
    if (arns.empty() && out["TapeInfos"].size() == limit) {
      out["Marker"] = rows[limit - 1].barcode;
      break;
    }
    Json tape = {{"TapeARN", tape_arn(row.barcode)},      {"TapeBarcode", row.barcode},
                 {"TapeSizeInBytes", row.capacity_bytes}, {"TapeStatus", to_string(row.status)},
                 {"GatewayARN", gateway_arn()},           {"PoolId", row.pool}};
    if (row.archived_ms != 0) tape["PoolEntryDate"] = seconds(row.archived_ms);
    if (row.locked_until_ms != 0 && row.archived_ms != 0) {
      tape["RetentionStartDate"] = seconds(row.archived_ms);
    }
    out["TapeInfos"].push_back(std::move(tape));
  }
  return out;
}

void Service::add_tape_operations() {
  TapeService& tapes = *env_.tapes;
  auto job_answer = [](Result<int64_t> job, const std::string& arn) -> Result<Json> {
    if (!job.ok()) return job.error();
    return Json{{"TapeARN", arn}, {"JobId", *job}};
  };

  aws("CreateTapes", [this](const Params& in) {
    return once("CreateTapes", in, [&] { return aws_create_tapes(in); });
  });
  aws("CreateTapeWithBarcode", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(TapeService::CreateRequest request, tape_request(in));
    ASSIGN_OR_RETURN(request.barcode, in.text("TapeBarcode"));
    ASSIGN_OR_RETURN(const auto made, tapes.create(request));
    return Json{{"TapeARN", tape_arn(made.front().row.barcode)}};
  });
  aws("ListTapes", [this](const Params& in) { return aws_list_tapes(in); });
  aws("DescribeTapes", [this](const Params& in) { return describe_tapes(in, false, "Tapes"); });
  aws("DescribeTapeArchives",
      [this](const Params& in) { return describe_tapes(in, true, "TapeArchives"); });
  for (const char* name : {"DeleteTape", "DeleteTapeArchive"}) {
    const bool archived = std::string_view(name) == "DeleteTapeArchive";
    aws(name, [this, &tapes, archived](const Params& in) -> Result<Json> {
      ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
      TRY(in.flag_or("BypassGovernanceRetention", false));  // nothing here shortens a retention
      ASSIGN_OR_RETURN(const TapeView view, tapes.show(barcode));
      if ((view.row.status == TapeStatus::archived) != archived) {
        return Error(ErrorCode::conflict,
                     "tape " + barcode + " is " + std::string(to_string(view.row.status)));
      }
      TRY(tapes.remove(barcode));
      return Json{{"TapeARN", tape_arn(barcode)}};
    });
  }
  aws("RetrieveTapeArchive", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
    TRY(tapes.retrieve(barcode, RestoreTier::standard));
    return Json{{"TapeARN", tape_arn(barcode)}};
  });
  aws("CancelArchival", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
    TRY(tapes.cancel_archive(barcode));
    return Json{{"TapeARN", tape_arn(barcode)}};
  });
  aws("CancelRetrieval", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
    TRY(tapes.cancel_retrieve(barcode));
    return Json{{"TapeARN", tape_arn(barcode)}};
  });

  own("CreateTapes", [this, &tapes](const Params& in) -> Result<Json> {
    TapeService::CreateRequest request;
    ASSIGN_OR_RETURN(request.barcode, in.text("Barcode"));
    ASSIGN_OR_RETURN(request.size_bytes, in.number("SizeInBytes", 0, UINT64_MAX));
    ASSIGN_OR_RETURN(const uint64_t count, in.number_or("Count", 1, 0, UINT32_MAX));
    request.count = static_cast<unsigned>(count);
    ASSIGN_OR_RETURN(request.pool, in.text_or("Pool", ""));
    ASSIGN_OR_RETURN(request.medium, in.text_or("Medium", ""));
    ASSIGN_OR_RETURN(request.worm, in.flag_or("Worm", false));
    ASSIGN_OR_RETURN(const auto made, tapes.create(request));
    Json out = {{"Tapes", Json::array()}};
    for (const TapeView& view : made) out["Tapes"].push_back(own_tape(view));
    return out;
  });
  own("ListTapes", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string after, in.text_or("After", ""));
    ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 10'000, 1, kMaxListLimit));
    ASSIGN_OR_RETURN(const bool costs, in.flag_or("Costs", false));
    ASSIGN_OR_RETURN(const auto views, tapes.list(limit, after));
    Json out = {{"Tapes", Json::array()}};
    for (const TapeView& view : views) {
      Json tape = own_tape(view);
      if (costs) TRY(add_costs(tape, view.row));
      out["Tapes"].push_back(std::move(tape));
    }
    if (views.size() == limit) out["After"] = views.back().row.barcode;
    return out;
  });
  own("DescribeTape", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const TapeView view, tapes.show(barcode));
    Json out = own_tape(view);
    TRY(add_costs(out, view.row));
    return out;
  });
  for (const bool on : {true, false}) {
    own(on ? "PinTape" : "UnpinTape", [this, &tapes, on](const Params& in) -> Result<Json> {
      ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
      ASSIGN_OR_RETURN(const TapeView view, tapes.set_pinned(barcode, on));
      return own_tape(view);
    });
  }
  own("HoldTape", [this, &tapes, job_answer](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const bool on, in.flag_or("On", true));
    return job_answer(tapes.set_hold(barcode, on), tape_arn(barcode));
  });
  own("TakeOverTape", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    ASSIGN_OR_RETURN(const TapeView view, tapes.take_over(barcode, force));
    return own_tape(view);
  });
  own("ForgetTape", [&tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    TRY(tapes.forget(barcode, force));
    return Json{{"Barcode", barcode}};
  });
  using Start = Result<int64_t> (TapeService::*)(std::string_view);
  const std::pair<const char*, Start> jobs[] = {{"ArchiveTape", &TapeService::archive},
                                                {"DeleteTape", &TapeService::remove},
                                                {"VerifyTape", &TapeService::verify}};
  for (const auto& [name, start] : jobs) {
    own(name, [this, &tapes, job_answer, start = start](const Params& in) -> Result<Json> {
      ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
      return job_answer((tapes.*start)(barcode), tape_arn(barcode));
    });
  }
}

}  // namespace coldshelf::api
