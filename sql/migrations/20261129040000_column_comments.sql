-- Every column says what it is: units, and what null means (of some that had a comment, too). Comments only;
-- docs/data-dictionary.md is made from them, and a test finds the column that a later migration leaves without one.

comment on column thumbrank.channels.split is
    'train, validation or test: a hash of channel_id, frozen once labels/splits.py has written it; null before.';
comment on column thumbrank.channels.channel_key is
    'Our own number of the channel, which other tables refer to; it means nothing outside of this database.';
comment on column thumbrank.channels.channel_id is 'YouTube''s id of the channel.';
comment on column thumbrank.channels.niche is 'The niche it belongs to: the first that confirmed it.';
comment on column thumbrank.channels.title is 'The channel''s name; null once it expired, or where a data set did not say.';
comment on column thumbrank.channels.video_count is 'All of its public videos, as YouTube counts them; null where not known.';
comment on column thumbrank.channels.view_count is 'All of its views, as YouTube counts them; null where not known.';
comment on column thumbrank.channels.uploads_playlist is
    'YouTube''s playlist of its uploads, which collection lists; null where not known, or once it expired.';
comment on column thumbrank.channels.country is 'As its owner says, ISO 3166-1; null where not said, or once it expired.';
comment on column thumbrank.channels.source is 'youtube_api, import (a team''s own data set) or simulator (invented: for demos and tests).';
comment on column thumbrank.channels.fetched_at is 'When the channel was last read.';
comment on column thumbrank.channels.made_for_kids is 'YouTube''s flag; null where unknown, or once it expired.';

comment on column thumbrank.discoveries.channel_id is 'YouTube''s id of the channel that was found.';
comment on column thumbrank.discoveries.niche is 'The niche whose query found it.';
comment on column thumbrank.discoveries.query is 'The words that were searched for.';
comment on column thumbrank.discoveries.rank is 'Its place in the search''s answer, counted from 0 over its pages.';
comment on column thumbrank.discoveries.discovered_at is 'When the answer came.';
comment on column thumbrank.discoveries.expires_at is 'API data is deleted at this time at the latest; null: the simulator''s.';

comment on column thumbrank.thumbnails.video_key is
    'Our own number of the video, which other tables refer to; it means nothing outside of this database.';
comment on column thumbrank.thumbnails.video_id is 'YouTube''s id of the video.';
comment on column thumbrank.thumbnails.channel_key is 'Its channel.';
comment on column thumbrank.thumbnails.published_at is 'When it was published.';
comment on column thumbrank.thumbnails.live_broadcast is 'none, live or upcoming, when last read.';
comment on column thumbrank.thumbnails.category_id is 'YouTube''s category; null where unknown, or once it expired.';
comment on column thumbrank.thumbnails.language is
    'Of the sound, else of the title, BCP 47; null where the creator set none, or once it expired.';
comment on column thumbrank.thumbnails.tags is 'The creator''s tags; empty where there are none, or once they expired.';
comment on column thumbrank.thumbnails.made_for_kids is 'YouTube''s flag; null where unknown.';
comment on column thumbrank.thumbnails.thumbnail_url is
    'Where its picture was offered when last read; null of a team''s own data, or once it expired.';
comment on column thumbrank.thumbnails.source is
    'youtube_api, import (a team''s own data set) or simulator (invented: for demos and tests).';
comment on column thumbrank.thumbnails.fetched_at is 'When the video was last read.';
comment on column thumbrank.thumbnails.expires_at is
    'API data is refreshed or deleted before this; null: a team''s own data, or the simulator''s.';
comment on column thumbrank.thumbnails.trainability_checked_at is
    'When the third-party training setting was last asked for; null: never, or expired.';

comment on column thumbrank.view_snapshots.video_key is 'The video.';
comment on column thumbrank.view_snapshots.observed_at is 'When the counts were seen.';
comment on column thumbrank.view_snapshots.view_count is 'Views at that moment; a video whose views are hidden has no snapshot.';
comment on column thumbrank.view_snapshots.like_count is 'Likes at that moment; null: hidden.';
comment on column thumbrank.view_snapshots.comment_count is 'Comments at that moment; null: hidden or switched off.';
comment on column thumbrank.view_snapshots.expires_at is
    'API data is deleted at this time at the latest; null: a team''s own data, or the simulator''s.';

comment on column thumbrank.picture_versions.video_key is 'The video.';
comment on column thumbrank.picture_versions.sha256 is
    'Of the picture''s bytes, 32 bytes; hexadecimal it is the file''s name in the picture store.';
comment on column thumbrank.picture_versions.url is 'Where it was fetched from; null where it came from a folder.';
comment on column thumbrank.picture_versions.width is 'Pixels.';
comment on column thumbrank.picture_versions.height is 'Pixels.';
comment on column thumbrank.picture_versions.bytes is 'Size of the file.';
comment on column thumbrank.picture_versions.first_seen_at is 'When this picture was first seen on the video.';
comment on column thumbrank.picture_versions.last_seen_at is 'When it was last seen there.';
comment on column thumbrank.picture_versions.expires_at is
    'API data is deleted at this time at the latest; null: a team''s own data, or the simulator''s.';

comment on column thumbrank.misses.kind is 'What could not be had: channel, video, picture, embedding or import_row.';
comment on column thumbrank.misses.item_id is
    'YouTube''s id of the channel or video; of a picture or embedding that of its video; of a row of a data set, the file''s name and the row''s number.';
comment on column thumbrank.misses.niche is 'The niche it was wanted for.';
comment on column thumbrank.misses.reason is 'A short name to count by, such as private_or_deleted.';
comment on column thumbrank.misses.detail is 'A sentence; empty where the reason says all.';
comment on column thumbrank.misses.missed_at is 'When it was last missed.';
comment on column thumbrank.misses.expires_at is
    'API data is deleted at this time at the latest; null: a team''s own data, or the simulator''s.';

comment on column thumbrank.channel_baselines.channel_key is 'The channel.';
comment on column thumbrank.channel_baselines.niche is 'The niche it was made with.';
comment on column thumbrank.channel_baselines.video_count is 'Videos that count, of which it is made.';
comment on column thumbrank.channel_baselines.median_log_vph is 'Median of ln(1 + views per hour).';
comment on column thumbrank.channel_baselines.mean_vph is 'Mean of views per hour.';
comment on column thumbrank.channel_baselines.sd_vph is 'Standard deviation of views per hour; null below 2 videos.';

comment on column thumbrank.growth_curves.niche is 'The niche whose training channels it was fitted on.';
comment on column thumbrank.growth_curves.knots_days is 'Ages at which it may bend, in days, ascending.';
comment on column thumbrank.growth_curves.residual_sd is 'Standard deviation of ln(1 + views) inside channels that age does not explain.';
comment on column thumbrank.growth_curves.n_videos is 'Videos it was fitted on.';
comment on column thumbrank.growth_curves.n_channels is 'Training channels it was fitted on.';
comment on column thumbrank.growth_curves.as_of is 'The newest counts in it.';

comment on column thumbrank.video_labels.video_key is 'The video.';
comment on column thumbrank.video_labels.channel_key is 'Its channel.';
comment on column thumbrank.video_labels.niche is 'The niche it was made for.';

comment on column thumbrank.training_pairs.a_key is 'Video a.';
comment on column thumbrank.training_pairs.b_key is 'Video b.';
comment on column thumbrank.training_pairs.channel_key is 'The channel of both.';
comment on column thumbrank.training_pairs.niche is 'The niche it was made for: the partition.';

comment on column thumbrank.pair_builds.cut is
    'The time holdout begins: as_of minus 30 days, or minus half of the time since the oldest labelled video was published; null without labels.';
comment on column thumbrank.pair_builds.niche is 'Which niche''s.';
comment on column thumbrank.pair_builds.label is 'What the outcomes compare: views_per_hour, age_adjusted or window_views.';
comment on column thumbrank.pair_builds.policy is 'The sections labels and pairs of config/policy.yaml that it was made by.';
comment on column thumbrank.pair_builds.channels is 'Channels with pairs.';
comment on column thumbrank.pair_builds.pairs is 'Pairs in all.';

comment on column thumbrank.encoders.encoder_key is 'Our own number of the encoder.';
comment on column thumbrank.encoders.encoder_id is 'Model, revision or digest, preparation of pictures, and dtype, in one line.';
comment on column thumbrank.encoders.modality is 'What it reads: image or title.';
comment on column thumbrank.encoders.dimension is 'Numbers in a vector.';

comment on column thumbrank.embeddings.encoder_key is 'Which encoder made it.';
comment on column thumbrank.embeddings.sha256 is 'Of the picture''s bytes, or of the normalised title in UTF-8; 32 bytes.';
comment on column thumbrank.embeddings.vector is 'Little-endian float16, two bytes a dimension.';

comment on column thumbrank.measures.measure_key is 'Our own number of the measure.';
comment on column thumbrank.measures.measure_id is 'Method and version in one line.';
comment on column thumbrank.measures.signal is
    'What it is a weak sign of: clarity, contrast, prominence, emotion, hierarchy or title_match.';

comment on column thumbrank.sub_score_signals.measure_key is 'Which measure read it.';
comment on column thumbrank.sub_score_signals.sha256 is 'Of the picture''s bytes, 32 bytes.';

comment on column thumbrank.embedding_runs.niche is 'Which niche''s vectors.';
comment on column thumbrank.embedding_runs.encoder_key is 'Of which encoder.';
comment on column thumbrank.embedding_runs.ran_at is 'When the niche was last embedded.';

comment on column thumbrank.drift_readings.niche is 'Which niche''s pictures.';
comment on column thumbrank.drift_readings.encoder_key is 'By which encoder''s vectors.';
comment on column thumbrank.drift_readings.read_at is 'When the later of the two runs was.';
comment on column thumbrank.drift_readings.pictures_then is 'Vectors of the run before.';
comment on column thumbrank.drift_readings.pictures_now is 'Vectors of this run.';
comment on column thumbrank.drift_readings.p_value is
    'Probability of such a ks without any drift, asymptotic, times the 32 directions (Bonferroni), 1 at most.';

comment on column thumbrank.model_evaluations.evaluation_id is 'Our own number of the figure.';
comment on column thumbrank.model_evaluations.model_sha256 is 'Of the evaluated model''s weights, hexadecimal.';
comment on column thumbrank.model_evaluations.model_version is 'Its version in the registry; null where the model was not registered.';
comment on column thumbrank.model_evaluations.evaluated_at is 'When the evaluation began to read.';
comment on column thumbrank.model_evaluations.scorer is
    'Whose figure: model, champion, ceiling (a simulated world''s own truth), or the name of a reference model.';
comment on column thumbrank.model_evaluations.is_reference is
    'Whether the scorer is a reference model: it knows less than the model, or nothing.';
comment on column thumbrank.model_evaluations.niche is 'A niche, or all.';
comment on column thumbrank.model_evaluations.split is
    'Which pairs: test (unseen channels), "test, later" and "train, later" (videos after the time cut), or A/B tests.';
comment on column thumbrank.model_evaluations.label is 'What the figure is measured against: the label of the pairs, or ab_outcome.';
comment on column thumbrank.model_evaluations.metric is 'Which figure, such as pair_accuracy_micro; evaluation/figures.py defines each.';
comment on column thumbrank.model_evaluations.value is 'The figure, in the unit of its metric.';
comment on column thumbrank.model_evaluations.ci_low is
    'Lower bound of its 95 % interval over draws of channels; null where none can be drawn.';
comment on column thumbrank.model_evaluations.ci_high is 'Upper bound of that interval; null where none can be drawn.';
comment on column thumbrank.model_evaluations.n_pairs is 'Pairs that it was measured on.';
comment on column thumbrank.model_evaluations.n_channels is 'Channels of these pairs.';

comment on column thumbrank.promotions.promotion_id is 'Our own number of the decision; a later one has a higher number.';

comment on column thumbrank.training_months.why is 'The sentence of a failure, or why it was skipped; null where there is none.';
comment on column thumbrank.training_months.reason is 'Why it was asked for, in a sentence.';
comment on column thumbrank.training_months.requested_at is 'When it was asked for, the last time.';
comment on column thumbrank.training_months.ended_at is 'When it was trained, failed or skipped; null: it is on its way.';

comment on column thumbrank.monthly_digests.month is 'The month it tells of, YYYY-MM.';
comment on column thumbrank.monthly_digests.written_at is 'When its text was last written.';

comment on column thumbrank.collection_runs.owner is
    'host:process of the running collection, so that no second one of this niche starts beside it; null: none runs.';
comment on column thumbrank.collection_runs.batch_refused_at is
    'When videos.batchGetStats was refused: counts then come from videos.list for a week; null: never.';
comment on column thumbrank.collection_runs.niche is 'Which niche''s.';
comment on column thumbrank.collection_runs.crawl_id is 'Of this collection; the runs that go on with it keep it.';
comment on column thumbrank.collection_runs.finished_at is 'When it was complete; null: it is not.';
comment on column thumbrank.collection_runs.state is 'running, partial (it stands still) or complete.';
comment on column thumbrank.collection_runs.reason is 'Why it stands still, in a sentence; else empty.';
comment on column thumbrank.collection_runs.resumes_at is 'When it can go on; null: at once, or it is not standing still.';

comment on column thumbrank.collection_progress.niche is 'Which niche''s collection.';
comment on column thumbrank.collection_progress.stage is 'discover, vet or list.';
comment on column thumbrank.collection_progress.item is
    'discover: the query; vet: the channel''s id; list: the channel''s id, a slash, and its uploads playlist.';
comment on column thumbrank.collection_progress.position is 'The order in which items are taken.';
comment on column thumbrank.collection_progress.page_token is 'YouTube''s token of the next page; null: the first.';
comment on column thumbrank.collection_progress.pages is 'Pages that were read.';
comment on column thumbrank.collection_progress.done is 'Whether the item is finished.';

comment on column thumbrank.collection_queue.niche is 'Which niche''s collection.';
comment on column thumbrank.collection_queue.stage is 'hydrate, snapshot, refresh or trainability.';
comment on column thumbrank.collection_queue.position is 'The order in which videos are taken.';
comment on column thumbrank.collection_queue.video_id is 'YouTube''s id of the video.';

comment on column thumbrank.quota_ledger.renewed_at is
    'When the running collection last showed that it is alive, a dead one''s share is free; null: none is running.';
comment on column thumbrank.quota_ledger.exhausted_at is
    'When YouTube said that the bucket is spent, whatever we had counted; null: it did not.';
comment on column thumbrank.quota_ledger.pacific_date is 'The day in California; YouTube''s quota is of one.';
comment on column thumbrank.quota_ledger.bucket is
    'search (calls of search.list), stats_batch (calls of videos.batchGetStats) or default (units of all others).';
comment on column thumbrank.quota_ledger.niche is 'The niche it was spent for.';

comment on column thumbrank.tombstones.kind is 'channel or video.';
comment on column thumbrank.tombstones.item_id is 'YouTube''s id of it.';
comment on column thumbrank.tombstones.reason is 'forgotten: asked for by somebody; expired: too old to be kept.';
comment on column thumbrank.tombstones.made_at is 'When it was removed.';

comment on column thumbrank.retention_audit.audit_id is 'Our own number of the removal.';
comment on column thumbrank.retention_audit.done_at is 'When.';
comment on column thumbrank.retention_audit.action is
    'expire (by age), forget (asked for), logout (consent given back) or revoked (consent withdrawn at Google).';
comment on column thumbrank.retention_audit.policy_mode is 'The mode of config/policy.yaml at that time.';
comment on column thumbrank.retention_audit.subject is 'What it was about: an id, or all niches.';
comment on column thumbrank.retention_audit.counts is 'Store -> how much was removed of it.';

comment on column thumbrank.ab_outcomes.video_id is 'YouTube''s id of the video it was run on.';
comment on column thumbrank.ab_outcomes.first_day is 'Its first day.';
comment on column thumbrank.ab_outcomes.last_day is 'Its last day, included.';
comment on column thumbrank.ab_outcomes.source is 'import: a team''s own file.';
comment on column thumbrank.ab_outcomes.imported_at is 'When the row was imported, or last changed by an import.';

comment on column thumbrank.ab_variants.owner_id is 'The channel whose owner ran the test.';
comment on column thumbrank.ab_variants.test_id is 'The test.';
comment on column thumbrank.ab_variants.label is 'The team''s own name of the variant.';
comment on column thumbrank.ab_variants.is_winner is 'Whether the test named it the winner; false of every variant where none won.';

comment on column thumbrank.reach_daily.source is
    'reporting_api (a row a day) or studio (a row a period of an export): of one video and day use one of them, not both.';
comment on column thumbrank.reach_daily.video_id is 'YouTube''s id of the video.';
comment on column thumbrank.reach_daily.last_day is 'Last day of the figures, included; a Pacific day.';
comment on column thumbrank.reach_daily.impressions is 'How often the thumbnail was shown on YouTube.';

comment on column thumbrank.reach_owners.job_created_at is
    'When the reporting job was ordered: YouTube''s reports begin 30 days before it, and nothing older can be had; null: not ordered yet.';
comment on column thumbrank.reach_owners.owner_id is 'YouTube''s id of the owner''s channel.';
comment on column thumbrank.reach_owners.job_id is 'YouTube''s id of the reporting job; null: not ordered yet.';

comment on column thumbrank.reach_reports.owner_id is 'The channel that it is about.';
comment on column thumbrank.reach_reports.starts_at is 'Beginning of its period.';
comment on column thumbrank.reach_reports.ends_at is 'End of its period, not included.';
comment on column thumbrank.reach_reports.report_id is 'YouTube''s id of the issue that was read.';
comment on column thumbrank.reach_reports.row_count is 'Rows in it that were stored in reach_daily.';

comment on column thumbrank.schema_migrations.version is 'UTC timestamp at the beginning of the file''s name, 14 digits.';
comment on column thumbrank.schema_migrations.name is 'The words after it.';
comment on column thumbrank.schema_migrations.checksum is 'sha256 of the file''s text with line ends as \n, hexadecimal.';
comment on column thumbrank.schema_migrations.applied_at is 'When it was applied to this database.';

comment on column thumbrank.latest_snapshots.video_key is 'The video.';
comment on column thumbrank.latest_snapshots.observed_at is 'When the counts were seen: the newest.';
comment on column thumbrank.latest_snapshots.view_count is 'Views at that moment.';
comment on column thumbrank.latest_snapshots.like_count is 'Likes at that moment; null: hidden.';
comment on column thumbrank.latest_snapshots.comment_count is 'Comments at that moment; null: hidden or switched off.';
comment on column thumbrank.latest_snapshots.expires_at is 'As in view_snapshots.';

comment on column thumbrank.current_pictures.video_key is 'The video.';
comment on column thumbrank.current_pictures.sha256 is 'Of the picture that was last seen on it.';
comment on column thumbrank.current_pictures.width is 'Pixels.';
comment on column thumbrank.current_pictures.height is 'Pixels.';
comment on column thumbrank.current_pictures.first_seen_at is 'When this picture was first seen on the video.';
comment on column thumbrank.current_pictures.last_seen_at is 'When it was last seen there.';

comment on column thumbrank.first_pictures.video_key is 'The video.';
comment on column thumbrank.first_pictures.sha256 is 'Of the picture that was first seen on it.';
comment on column thumbrank.first_pictures.phash is '64-bit perceptual hash (DCT), as a signed bigint.';
comment on column thumbrank.first_pictures.first_seen_at is 'When this picture was first seen on the video.';
comment on column thumbrank.first_pictures.last_seen_at is 'When it was last seen there.';
