# JavaScript, CSS and HTML: tsc checks types, prettier checks format. Both come from npm.

PRETTIER := node .javascript/prettier/bin/prettier.cjs --log-level warn --config tools/prettier.json
WEB := --no-error-on-unmatched-pattern '{src/app/web,tools/local}/*.{css,html,js}' \
	'{examples,tests}/**/*.{css,html,js,jsx,mjs}'

.PHONY: check-web format-web

ifneq ($(shell command -v npm 2>/dev/null),)
check-web: .javascript/.installed
	@node .javascript/typescript/lib/tsc.js --project tools/tsconfig.json
	@$(PRETTIER) --check $(WEB)

format-web: .javascript/.installed
	@$(PRETTIER) --write $(WEB)
else
check-web format-web:
	@echo "npm is missing: JavaScript, CSS and HTML are left out." >&2
	@test -z "$$CI"
endif

.javascript/.installed: tools/locks/javascript.sha512
	@rm -rf $(@D)
	@mkdir $(@D)
	@npm pack --silent --pack-destination $(@D) \
		$$(sed -E 's/.* (.*)-([0-9.]+)\.tgz/\1@\2/' $<) >/dev/null
	@cd $(@D) && $$(command -v sha512sum || echo shasum -a 512) -c ../$< >/dev/null
	@for name in axe-core prettier typescript; do \
		mkdir $(@D)/$$name && \
		tar -xzf $(@D)/$$name-*.tgz -C $(@D)/$$name --strip-components=1 || exit 1; \
	done
	@rm $(@D)/*.tgz
	@touch $@
