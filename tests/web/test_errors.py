from sqlalchemy import text

from app.extensions import db


class TestErrorPages:
    def test_an_unknown_page_says_what_to_do(self, client):
        answer = client.get("/nowhere")

        assert answer.status_code == 404
        assert "Check the address" in answer.text

    def test_a_form_that_is_too_large_names_the_limit(self, app, client):
        app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024

        answer = client.post("/login", data={"username": "x" * (2 << 20)})

        assert answer.status_code == 413
        assert "1 MB" in answer.text

    def test_an_address_with_a_huge_number_is_not_found(self, client):
        assert client.get(f"/upload/{10**30}").status_code == 404

    def test_a_broken_database_still_gives_a_page(self, app, client):
        app.config["PROPAGATE_EXCEPTIONS"] = False
        db.session.execute(text("DROP TABLE phase_change"))
        db.session.execute(text("ALTER TABLE round RENAME TO gone"))
        db.session.commit()

        for path in ("/", "/nowhere"):
            answer = client.get(path)

            assert answer.status_code == 500
            assert "no upload is lost" in answer.text
            assert "Traceback" not in answer.text
